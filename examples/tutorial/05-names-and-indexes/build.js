const fs = require("fs");
fs.mkdirSync("dist", { recursive: true });
const built = "hello from a bundle";
fs.writeFileSync(
  "dist/app.js",
  `const fs = require("fs");\nconsole.log(${JSON.stringify(built)} + "; npm here:", fs.existsSync("/usr/bin/npm"));\n`,
);
