-- For another test runner: nobody requires it here.
return function(runner)
	runner.describe("Signal", function() end)
end
