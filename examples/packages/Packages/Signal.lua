return require("./_Index/acme_signal@2.0.0/signal")
