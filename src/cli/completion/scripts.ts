/** Completion scripts for shells. */
import type { CompletedCommand, CompletedFlag, Values } from "./model.ts";

const PROGRAM = "ip-masq-agent";

/** For bash 4 and later, without the package bash-completion. */
export function bashScript(commands: readonly CompletedCommand[]): string {
  const names = commands.map(({ name }) => name);
  const flags = commands.map(
    ({ name, flags }) =>
      `    ${name}) flags=${quote([...flags.map((flag) => flag.name), "--help"].join(" "))} ;;\n`,
  );
  const values = commands.flatMap(({ name, flags }) =>
    flags.flatMap((flag) =>
      flag.values === undefined ? [] : `    ${name}:${flag.name}) ${bashReply(flag.values)}; return ;;\n`,
    ),
  );
  const operands = commands.flatMap(({ name, operands }) =>
    operands === undefined ? [] : `    ${name}) ${bashReply(operands)} ;;\n`,
  );
  return `# bash completion for ${PROGRAM}
_ip_masq_agent() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command=run flags
  COMPREPLY=()
  case " ${names.join(" ")} " in
    *" \${COMP_WORDS[1]} "*) [ "$COMP_CWORD" -gt 1 ] && command=\${COMP_WORDS[1]} ;;
  esac
  # "=" is a word of its own.
  if [ "$cur" = = ]; then
    cur=
  elif [ "$prev" = = ] && [ "$COMP_CWORD" -ge 2 ]; then
    prev=\${COMP_WORDS[COMP_CWORD-2]}
  fi
  case "$prev" in --*) ;; -??*) prev=-$prev ;; esac
  case "$command:$prev" in
${values.join("")}  esac
  case "$command" in
${flags.join("")}  esac
  if [ "\${cur#-}" != "$cur" ]; then
    COMPREPLY=($(compgen -W "$flags" -- "$cur"))
    return
  fi
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W ${quote(names.join(" "))} -- "$cur"))
    return
  fi
  case "$command" in
${operands.join("")}  esac
}
complete -o filenames -o bashdefault -F _ip_masq_agent ${PROGRAM}
`;
}

/** Names of files may have blanks, so they are read line by line. */
function bashReply(values: Values): string {
  if (values.kind === "any") return ":";
  const words = values.kind === "words" ? `-W ${quote(values.words.join(" "))}` : "-f";
  return `mapfile -t COMPREPLY < <(compgen ${words} -- "$cur")`;
}

/** For zsh's completion system. */
export function zshScript(commands: readonly CompletedCommand[]): string {
  const described = commands.map(({ name, summary }) => `    ${quote(`${name}:${zshEscape(summary)}`)}\n`);
  const cases = commands.map(
    (command) => `    ${command.name})\n      _arguments -S \\\n${zshArguments(command)} ;;\n`,
  );
  return `#compdef ${PROGRAM}
_ip-masq-agent() {
  local -a commands=(
${described.join("")}  )
  local command=run
  if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then
    _describe command commands
    return
  fi
  if [[ $words[2] != -* ]]; then
    command=$words[2]
    shift words
    (( CURRENT-- ))
  fi
  case $command in
${cases.join("")}  esac
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _ip-masq-agent "$@"
else
  compdef _ip-masq-agent ${PROGRAM}
fi
`;
}

function zshArguments({ flags, operands }: CompletedCommand): string {
  const specs = flags.map(({ name, help, values }) => {
    const action = values === undefined ? "" : `=:value:${zshAction(values)}`;
    return `${name}${action.slice(0, 1)}[${zshEscape(help)}]${action.slice(1)}`;
  });
  const words = operands === undefined ? [] : [`*:operand:${zshAction(operands)}`];
  return [...specs, "--help[Show the help]", ...words].map((spec) => `        ${quote(spec)}`).join(" \\\n");
}

function zshAction(values: Values): string {
  switch (values.kind) {
    case "words":
      return `(${values.words.join(" ")})`;
    case "file":
      return "_files";
    case "any":
      return " ";
  }
}

function zshEscape(text: string): string {
  return text.replaceAll(/[[\]:\\]/g, "\\$&");
}

/** For fish 3. */
export function fishScript(commands: readonly CompletedCommand[]): string {
  const names = commands.map(({ name }) => name).join(" ");
  const none = `not __fish_seen_subcommand_from ${names}`;
  const lines = commands.flatMap((command) => {
    const { name, summary, flags, operands } = command;
    const seen =
      name === "run" ? `__fish_seen_subcommand_from run; or ${none}` : `__fish_seen_subcommand_from ${name}`;
    return [
      `complete -c ${PROGRAM} -n ${fishQuote(`${none}; and __fish_is_first_arg`)} -a ${name} -d ${fishQuote(summary)}`,
      ...flags.map((flag) => `complete -c ${PROGRAM} -n ${fishQuote(seen)} ${fishFlag(flag)}`),
      ...(operands === undefined
        ? []
        : [`complete -c ${PROGRAM} -n ${fishQuote(seen)} ${fishValues(operands, "-f")}`]),
    ];
  });
  return `# fish completion for ${PROGRAM}\ncomplete -c ${PROGRAM} -f\n${lines.join("\n")}\n`;
}

function fishFlag({ name, help, values }: CompletedFlag): string {
  const option = name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`;
  return `${option} -d ${fishQuote(help)}${values === undefined ? "" : ` ${fishValues(values, "-x")}`}`;
}

/** `-F` allows files although the program's words are none. */
function fishValues(values: Values, alone: "-f" | "-x"): string {
  switch (values.kind) {
    case "words":
      return `${alone} -a ${fishQuote(values.words.join(" "))}`;
    case "file":
      return alone === "-x" ? "-rF" : "-F";
    case "any":
      return alone;
  }
}

function fishQuote(text: string): string {
  return `'${text.replaceAll(/['\\]/g, "\\$&")}'`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
