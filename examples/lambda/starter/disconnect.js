const db = require('./db');

exports.handler = async (event) => {
  await db.remove(event.requestContext.connectionId);
  return { statusCode: 200 };
};
