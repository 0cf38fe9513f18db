// Packs files into a zip, uncompressed: [{path, file}] -> Blob.

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

export function crc32(bytes, crc = 0) {
  crc = ~crc;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

// Fields of 2 or 4 bytes, lowest byte first: [[2, 20], [4, 0x04034b50]]
function fields(...sizes) {
  const view = new DataView(new ArrayBuffer(sizes.reduce((sum, [size]) => sum + size, 0)));
  let at = 0;
  for (const [size, value] of sizes) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return view;
}

async function crcOf(file) {
  let crc = 0;
  const reader = file.stream().getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return crc;
    crc = crc32(value, crc);
  }
}

export async function pack(files) {
  const parts = [];
  const index = [];
  let at = 0;
  let indexSize = 0;
  for (const { path, file } of files) {
    const name = new TextEncoder().encode(path);
    const crc = await crcOf(file);
    // version 2.0, names in UTF-8, stored, 1 January 1980
    const common = [[2, 20], [2, 0x800], [2, 0], [2, 0], [2, 33], [4, crc], [4, file.size], [4, file.size], [2, name.length], [2, 0]];
    parts.push(fields([4, 0x04034b50], ...common), name, file);
    index.push(fields([4, 0x02014b50], [2, 0x314], ...common, [2, 0], [2, 0], [2, 0], [4, 0o100644 * 65536], [4, at]), name);
    at += 30 + name.length + file.size;
    indexSize += 46 + name.length;
  }
  const end = fields([4, 0x06054b50], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, indexSize], [4, at], [2, 0]);
  return new Blob([...parts, ...index, end], { type: "application/zip" });
}
