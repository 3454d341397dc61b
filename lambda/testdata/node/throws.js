throw new Error('at the door');
