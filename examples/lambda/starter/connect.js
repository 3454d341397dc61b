const db = require('./db');

exports.handler = async (event) => {
  await db.add(event.requestContext.connectionId, event.requestContext.connectedAt);
  return { statusCode: 200 };
};
