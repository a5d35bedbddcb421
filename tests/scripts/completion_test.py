#!/usr/bin/env python3
"""What every program prints of its own flags: --help is taken at its word, and each flag that it shows must be
completed by bash and zsh, with exactly the choices that it shows; mandoc must find nothing wrong with --man.
Shells and mandoc that are not installed are left out, and said.
usage: completion_test.py PROGRAM..."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

PROGRAMS = [pathlib.Path(word) for word in sys.argv[1:]]
PATHS = "PATH"

# The function that completes, asked as bash asks it. compopt works within readline alone.
BASH = r"""
source "$1"
compopt() { COMPREPLY=(PATH); }
function=$(complete -p "$2"); function=${function#*-F }; function=${function%% *}
while IFS= read -r line; do
  read -ra COMP_WORDS <<<"$line"
  [[ $line != *' ' ]] || COMP_WORDS+=("")
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  $function "$2" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
  echo "= ${COMPREPLY[*]}"
done
"""

# A terminal with zsh in it, whose completions go to a file instead of the line.
ZSH = r"""
zmodload zsh/zpty
zpty z "PS1= TERM=dumb zsh -f -i"
zpty -w z "
autoload -Uz compinit; compinit -u -D; source ${(q)1}
compadd() { if (( \${@[(I)-[OAD]]} )); then builtin compadd \"\$@\"; else local -a hits; builtin compadd -O hits \"\$@\"; print -l -- \$hits >>${(q)3}; fi }
_files() { print PATH >>${(q)3} }
ask() { zle complete-word; print -- = >>${(q)3}; BUFFER= }
zle -N ask; bindkey '^I' ask; print READY >>${(q)3}"
lines=("${(@f)$(cat)}")
wait_for() { local i; for ((i = 0; i < 600; i++)); do (( $(grep -c "$1" "$2") >= $3 )) && return; sleep 0.02; zpty -rt z _ 2>/dev/null; done; print -u2 "zsh does not answer"; exit 1 }
: >$3
wait_for READY $3 1
count=0
for line in $lines; do zpty -n -w z "$line"$'\t'; (( ++count )); wait_for '^=$' $3 $count; done
zpty -d z
"""


def shown(program):
    """Each long flag of --help: its choices, PATHS, [] for another value, None for a switch."""
    text = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
    flags = {}
    for name, type_name in re.findall(r"^  (?:-\w,)?(--[\w-]+)(?: ([A-Z]+(?::\{[^}]*\})?)\S*)?", text, flags=re.M):
        choices = re.search(r"\{(.*)\}", type_name)
        flags[name] = choices[1].split(",") if choices else PATHS if type_name == "PATH" else [] if type_name else None
    assert {"--help", "--version", "--man", "--completion"} <= set(flags), (program, flags)
    return flags


def ask_bash(program, script, lines, scratch):
    # To bash --flag=word is three words.
    lines = [re.sub(r"=(.*)$", r" = \1", line).replace("= ", "=" if line.endswith("=") else "= ") for line in lines]
    ran = subprocess.run(["bash", "--norc", "-c", BASH, "bash", script, program.name], input="\n".join(lines) + "\n",
                         capture_output=True, text=True, check=True, timeout=60)
    assert not ran.stderr, ran.stderr
    return [set(line[2:].split()) for line in ran.stdout.splitlines()]


def ask_zsh(program, script, lines, scratch):
    answers = scratch / "answers"
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    subprocess.run(["zsh", "-f", "-c", ZSH, "zsh", script, program.name, answers], input="\n".join(lines), text=True,
                   check=True, timeout=120, env=environment, cwd=scratch)
    text = answers.read_text().split("READY\n", 1)[1]
    return [set(part.split("\n")) - {""} for part in text.split("=\n")[:-1]]


def check_completion(program, shell, ask, scratch):
    flags = shown(program)
    script = scratch / f"{program.name}.{shell}"
    script.write_text(subprocess.run([program, "--completion", shell], capture_output=True, text=True, check=True).stdout)
    name = program.name
    lines, expected = [f"{name} --"], [set(flags)]
    for flag, choices in flags.items():
        if choices == PATHS:
            lines.append(f"{name} {flag} ")
            expected.append({PATHS})
        elif choices:
            first = choices[0]
            lines += [f"{name} {flag} ", f"{name} {flag} {first}", f"{name} {flag}={first[:2]}"]
            expected += [set(choices), {word for word in choices if word.startswith(first)},
                         {word for word in choices if word.startswith(first[:2])}]
    for line, want, got in zip(lines, expected, ask(program, script, lines, scratch), strict=True):
        got = {word.rstrip("=+") for word in got}
        if line.endswith(" --"):  # files may be called so, too
            got -= {PATHS}
        assert got == want, f"{shell}: '{line}' is completed by {sorted(got)}, expected {sorted(want)}"
    return len(lines)


def main():
    assert PROGRAMS
    asks = {"bash": ask_bash, "zsh": ask_zsh}
    for tool in (*asks, "mandoc"):
        if shutil.which(tool) is None:
            print(f"left out: {tool} is not installed")
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        for program in PROGRAMS:
            for shell, ask in asks.items():
                if shutil.which(shell):
                    count += check_completion(program, shell, ask, pathlib.Path(folder))
            page = subprocess.run([program, "--man"], capture_output=True, text=True, check=True).stdout
            for flag in shown(program):
                assert "\\fB" + flag.replace("-", "\\-") + "\\fR" in page, f"{program}: --man lacks {flag}"
            if shutil.which("mandoc"):
                lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning"], input=page, capture_output=True, text=True)
                assert lint.returncode == 0 and not lint.stdout, (program, lint.stdout)
    print(f"{len(PROGRAMS)} programs, {count} words completed")


main()
