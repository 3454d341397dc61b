exports.connect = exports.default = exports.auth = async () => ({ statusCode: 200 });
