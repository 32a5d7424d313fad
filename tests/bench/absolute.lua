-- wrk connects to the proxy; what it asks for there is the URL after "--".
function init(args)
	wrk.path = args[1]
	wrk.headers["Host"] = args[1]:match("^http://([^/]+)")
end
