/** Prometheus as a server inside a lab. */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { httpGet } from "../lab/network/http.ts";
import { eventually, type Lab } from "../lab/network/lab.ts";

/** One series' sample of a query's answer. */
export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Prometheus {
  /** What a query comes to now. A query that is wrong throws. */
  readonly query: (expression: string) => Promise<readonly Sample[]>;
}

const ADDRESS = "127.0.0.1:9090";

/** Starts Prometheus in the lab's node; it ends with the lab. `configuration` is its file, as JSON, which is YAML. */
export async function startPrometheus(lab: Lab, configuration: object): Promise<Prometheus> {
  const path = join(lab.directory, "prometheus.yml");
  writeFileSync(path, JSON.stringify(configuration));
  const data = `--storage.tsdb.path=${join(lab.directory, "prometheus")}`;
  const flags = [`--config.file=${path}`, data, `--web.listen-address=${ADDRESS}`, "--log.level=warn"];
  const [file = "", ...args] = lab.inside("node", "prometheus", ...flags);
  const child = spawn(file, args, { stdio: ["ignore", "ignore", "pipe"] });
  let complaint = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    complaint += chunk;
  });
  const query: Prometheus["query"] = async (expression) => {
    const query = new URLSearchParams({ query: expression });
    const { code, body } = await httpGet(lab, `http://${ADDRESS}/api/v1/query?${query}`);
    if (code !== 200) throw new Error(`${expression}: ${body} ${complaint}`);
    return parseAnswer(body);
  };
  await eventually(() => query("vector(1)"));
  return { query };
}

interface Answer {
  readonly data: {
    readonly result: readonly { metric: Record<string, string>; value: [number, string] }[];
  };
}

/** An instant vector: each series with its time and its value as text. */
function parseAnswer(text: string): readonly Sample[] {
  const { data } = JSON.parse(text) as Answer;
  return data.result.map(({ metric, value: [, value] }) => ({ metric, value: Number(value) }));
}
