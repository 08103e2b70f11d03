/**
 * Work inside a namespace, which Node cannot enter: this program again, as a process of its own. A task answers each line of JSON
 * with one, and ends with its input.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

export interface Task<Request, Reply> {
  readonly ask: (request: Request) => Promise<Reply>;
  readonly end: () => void;
}

type Answer<Reply> = { readonly reply: Reply } | { readonly error: string };

/** Runs the task that the command line asks for, or else the program itself. */
export function runProgram(
  tasks: Readonly<Record<string, (...words: string[]) => Promise<void>>>,
  main: (...words: string[]) => Promise<void>,
): void {
  const [, , first, task = "", ...words] = process.argv;
  void (first === "--task" ? tasks[task]?.(...words) : main(...process.argv.slice(2)));
}

/** Starts the task of a name behind a command's prefix; returns when it is ready. */
export async function startTask<Request, Reply>(
  prefix: readonly string[],
  name: string,
  ...words: readonly string[]
): Promise<Task<Request, Reply>> {
  const [file = "", ...args] = [...prefix, process.execPath, process.argv[1] ?? "", "--task", name, ...words];
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`the ${name} has ended`);
    const answer = JSON.parse(value) as Answer<Reply>;
    if ("error" in answer) throw new Error(`the ${name}: ${answer.error}`);
    return answer.reply;
  };
  await next();
  return {
    ask(request) {
      child.stdin.write(`${JSON.stringify(request)}\n`);
      return next();
    },
    end: () => child.stdin.end(),
  };
}

/** The task's part: says that it is ready, and serves one request after the other. */
export async function serveTask<Request>(serve: (request: Request) => unknown): Promise<void> {
  const answer = (value: Answer<unknown>) => process.stdout.write(`${JSON.stringify(value)}\n`);
  answer({ reply: null });
  for await (const line of createInterface({ input: process.stdin }))
    try {
      answer({ reply: (await serve(JSON.parse(line) as Request)) ?? null });
    } catch (error) {
      answer({ error: (error as Error).message });
    }
  process.exit();
}
