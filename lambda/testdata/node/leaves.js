console.log('goodbye'); process.exit(4);
