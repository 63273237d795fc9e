#!/usr/bin/env node
/** An MCP server over stdio, built from source with the official TypeScript SDK. */

import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { z } from "zod";

import { convert, quantities, units } from "./units.js";

const server = new McpServer(
  { name: "units-server", title: "Units", version: "0.1.0" },
  { instructions: "Converts units of measurement. Ask list_units for the symbols it knows." },
);

server.registerTool(
  "convert",
  {
    title: "Convert a measurement",
    description: "Convert a value from one unit of measurement to another.",
    inputSchema: {
      value: z.number().describe("The value to convert"),
      from: z.string().describe('Its unit: a symbol or a name, as "km" or "kilometre"'),
      to: z.string().describe("The unit wanted"),
    },
    outputSchema: { value: z.number(), unit: z.string() },
    annotations: { readOnlyHint: true, openWorldHint: false },
  },
  ({ value, from, to }) => {
    try {
      const converted = convert(value, from, to);
      return {
        content: [{ type: "text", text: `${value} ${from} = ${converted} ${to}` }],
        structuredContent: { value: converted, unit: to },
      };
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return { content: [{ type: "text", text: error.message }], isError: true };
    }
  },
);

server.registerTool(
  "list_units",
  {
    title: "List units",
    description: "The units that can be converted, of one quantity or of all.",
    inputSchema: { quantity: z.enum(quantities).optional().describe("Only the units of this quantity") },
    annotations: { readOnlyHint: true, openWorldHint: false },
  },
  ({ quantity }) => ({
    content: [
      {
        type: "text",
        text: units(quantity)
          .map((unit) => `${unit.symbol}: ${unit.name} (${unit.quantity})`)
          .join("\n"),
      },
    ],
  }),
);

server.registerResource(
  "units",
  "units://all",
  { title: "All units", description: "Every unit as JSON", mimeType: "application/json" },
  (uri) => ({ contents: [{ uri: uri.href, mimeType: "application/json", text: JSON.stringify(units()) }] }),
);

await server.connect(new StdioServerTransport());
