// What one writes with the npm packages ws and redis: the path of a WebSocket is
// its channel; the first subscriber of a channel subscribes in Redis, and every
// message goes to all of them.
'use strict';
const { WebSocketServer } = require('ws');
const { createClient } = require('redis');

const rooms = new Map();

async function main(redisUrl) {
  const redis = createClient({ url: redisUrl });
  await redis.connect();
  const server = new WebSocketServer({
    host: '127.0.0.1', port: 0, perMessageDeflate: false, backlog: 4096,
  });
  server.on('connection', (socket, request) => {
    const channel = request.url;
    let room = rooms.get(channel);
    if (!room) {
      room = new Set();
      rooms.set(channel, room);
      const members = room;
      redis.subscribe(channel, (message) => {
        for (const member of members) member.send(message);
      });
    }
    room.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => {
      room.delete(socket);
      if (room.size === 0 && rooms.get(channel) === room) {
        rooms.delete(channel);
        redis.unsubscribe(channel);
      }
    });
  });
  server.on('listening', () => {
    console.log(`listening on ws://127.0.0.1:${server.address().port}`);
  });
  process.on('SIGTERM', () => process.exit(0));
}

main(process.argv[2]);
