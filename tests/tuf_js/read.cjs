// Read targets with plain tuf-js, which knows nothing of sigmirror.
// Usage: node read.cjs MODULES METADATA_FOLDER METADATA_URL FILES_FOLDER TARGETS_URL TARGET…
// METADATA_FOLDER holds the trusted root.json. Prints one line of JSON: {target: sha256 or null}.
const { createHash } = require("node:crypto");
const { readFileSync } = require("node:fs");
const { createRequire } = require("node:module");

const [modules, metadataDir, metadataBaseUrl, targetDir, targetBaseUrl, ...targets] =
  process.argv.slice(2);
const { Updater } = createRequire(`${modules}/`)("tuf-js");

async function main() {
  const config = { fetchRetries: 0 };
  const client = new Updater({ metadataDir, metadataBaseUrl, targetDir, targetBaseUrl, config });
  await client.refresh();
  const read = {};
  for (const target of targets) {
    const info = await client.getTargetInfo(target);
    const file = info && (await client.downloadTarget(info));
    read[target] = file ? createHash("sha256").update(readFileSync(file)).digest("hex") : null;
  }
  console.log(JSON.stringify(read));
}

main().catch((error) => {
  console.error(`${error.name}: ${error.message}`);
  process.exit(1);
});
