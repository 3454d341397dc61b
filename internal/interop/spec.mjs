// Prints what AWS's resource specification says of the resource types in a template: node spec.mjs ../../deploy/stack.yaml
import { loadAwsServiceSpecSync } from "@aws-cdk/aws-service-spec";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { version } = createRequire(import.meta.url)("@aws-cdk/aws-service-spec/package.json");
const template = readFileSync(process.argv[2], "utf8");
const db = loadAwsServiceSpecSync();

function type(t, above = []) {
  switch (t.type) {
    case "array":
    case "map":
      return { type: t.type, element: type(t.element, above) };
    case "union":
      return { type: "union", types: t.types.map((each) => type(each, above)) };
    case "ref": {
      const id = t.reference.$ref;
      if (above.includes(id)) return { type: "json" };
      return { type: "object", properties: properties(db.get("typeDefinition", id), [...above, id]) };
    }
    default:
      return t.allowedValues ? { type: t.type, values: t.allowedValues } : { type: t.type };
  }
}

function properties(of, above) {
  const sorted = Object.entries(of.properties).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(sorted.map(([name, p]) => [name, { ...type(p.type, above), ...(p.required && { required: true }) }]));
}

const resources = {};
for (const name of [...new Set(template.match(/AWS::\w+::\w+$/gm))].sort()) {
  const found = db.lookup("resource", "cloudFormationType", "equals", name);
  if (found.length !== 1) throw new Error(`${name} is no resource type`);
  const resource = found.only();
  resources[name] = { attributes: Object.keys(resource.attributes).sort(), properties: properties(resource, []) };
}
console.log(JSON.stringify({ source: `@aws-cdk/aws-service-spec ${version}`, resources }, null, 1));
