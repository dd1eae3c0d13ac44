// node onnx_client.cjs MODEL IMAGES OUTPUT N C H W: raw float32 images in, raw float32 logits out,
// computed by onnxruntime-web's WebAssembly build.
const fs = require("fs");
const runtime = require("onnxruntime-web");

async function main([model, images, output, ...shape]) {
  runtime.env.wasm.numThreads = 1;
  const session = await runtime.InferenceSession.create(fs.readFileSync(model));
  const bytes = fs.readFileSync(images);
  const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const feed = { [session.inputNames[0]]: new runtime.Tensor("float32", values, shape.map(Number)) };
  const logits = (await session.run(feed))[session.outputNames[0]].data;
  fs.writeFileSync(output, Buffer.from(logits.buffer, logits.byteOffset, logits.byteLength));
}

main(process.argv.slice(2));
