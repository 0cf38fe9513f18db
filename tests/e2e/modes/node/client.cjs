// The scenarios of test_node_ws.py, one after another: `node client.cjs ws://host/app SCENARIO...`,
// the results as JSON, by name.
"use strict";
const { once } = require("node:events");
const WebSocket = require("ws");

const [base, ...asked] = process.argv.slice(2);

async function open(path, protocols = [], options = {}) {
  const socket = new WebSocket(base + path, protocols, options);
  await once(socket, "open");
  return socket;
}

// One message there and back: what came, and whether it was bytes.
async function echo(socket, data, options) {
  socket.send(data, options);
  const [back, isBinary] = await once(socket, "message");
  return { same: Buffer.compare(Buffer.from(data), back) === 0, isBinary };
}

async function closed(socket) {
  const [code, reason] = await once(socket, "close");
  return [code, reason.toString()];
}

async function messages(compresses, largest) {
  const socket = await open("/echo", [], { perMessageDeflate: compresses });
  const seen = [];
  for (const data of ["hello", "\u20ac".repeat(50000), Buffer.from([0, 255]),
    Buffer.alloc(largest, "buntime ")]) {
    seen.push(await echo(socket, data));
  }
  const extensions = socket.extensions;
  socket.close(1000);
  return { extensions, seen, closed: await closed(socket) };
}

const scenarios = {
  plain: () => messages(false, 16 * 1024 * 1024),
  compressed: () => messages({ threshold: 0 }, 1024 * 1024),

  async fragments() {
    const socket = await open("/echo");
    const pieces = ["a", "\u20ac".repeat(30000), "", "c"];
    pieces.forEach((piece, n) => socket.send(piece, { fin: n === pieces.length - 1 }));
    const [back] = await once(socket, "message");
    socket.terminate();
    return back.toString() === pieces.join("");
  },

  async ping() {
    const socket = await open("/deaf");
    socket.ping("while the app is busy");
    const [data] = await once(socket, "pong");
    socket.terminate();
    return data.toString();
  },

  async subprotocol() {
    const socket = new WebSocket(base + "/scope?q=x", ["v1", "v2"], { headers: { cookie: "c=d" } });
    const [response] = await once(socket, "upgrade");
    const [data] = await once(socket, "message");
    return { subprotocol: socket.protocol, room: response.headers["x-room"],
      scope: JSON.parse(data), closed: await closed(socket) };
  },

  async close() {
    return closed(await open("/close?code=4001&reason=%E2%82%AC"));
  },

  async denied() {
    const socket = new WebSocket(base + "/deny");
    const [, response] = await once(socket, "unexpected-response");
    const chunks = [];
    for await (const chunk of response) chunks.push(chunk);
    return [response.statusCode, response.headers["x-why"], Buffer.concat(chunks).toString()];
  },

  async many() {
    const sockets = await Promise.all(Array.from({ length: 50 }, () => open("/echo")));
    const seen = await Promise.all(sockets.map((socket, n) => echo(socket, `message ${n}`)));
    sockets.forEach((socket) => socket.close());
    await Promise.all(sockets.map((socket) => once(socket, "close")));
    return seen.every(({ same }) => same);
  },
};

async function play() {
  const results = {};
  for (const each of asked) results[each] = await scenarios[each]();
  return results;
}

play().then((results) => {
  // Not at the end of what is open: after a denial the connection is kept alive.
  process.stdout.write(JSON.stringify(results), () => process.exit());
});
