exports.handler = async () => 'in src';
