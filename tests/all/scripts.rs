trials![];
