-- Connections are in no field that others see: the key is a proxy.
local connections = newproxy()
local Signal = {}
Signal.__index = Signal

function Signal.new()
	return setmetatable({ [connections] = {} }, Signal)
end

function Signal:connect(callback)
	table.insert(self[connections], callback)
end

function Signal:fire(...)
	for _, callback in self[connections] do
		callback(...)
	end
end

return Signal
