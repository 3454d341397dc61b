export const index = async () => ({ statusCode: 200 });
