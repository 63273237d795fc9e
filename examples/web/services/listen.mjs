// Hears three numbers of the feed, says something, hears it back: `node listen.mjs [URL]` (Node 22 has WebSocket).
const socket = new WebSocket(process.argv[2] ?? 'ws://127.0.0.1:7080/feed');
let heard = 0;
socket.onopen = () => socket.send('hello');
socket.onmessage = ({ data }) => {
  console.log(data);
  if (++heard === 4) socket.close();
};
socket.onerror = () => process.exit(1);
