exports.handler = async () => { syntax error
