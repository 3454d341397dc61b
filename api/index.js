// What happens at ws://localhost:8080/dev comes here: who connects, every message, and who leaves. crier.yaml says so.
exports.handler = async (event) => {
  const { eventType, connectionId } = event.requestContext;
  console.log(eventType, connectionId, event.body);
  return { statusCode: 200, body: `you said ${event.body}` }; // a body is sent back where the route has routeResponse
};
