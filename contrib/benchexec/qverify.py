"""BenchExec tool-info module of qverify: runs `qverify OPTIONS INPUT FILES` and reads its exit code and verdict line.

<benchmark tool="contrib.benchexec.qverify" ...> finds it when this tree is in PYTHONPATH (a name without a dot is looked for in
benchexec/tools/). The first option is the command (overflow, audit, robust, ...); a task definition may add options of its
own:  options: {arguments: ["--index", "3"]}.
"""

import benchexec.result as result
import benchexec.tools.template

# qverify's exit codes (docs/cli.md). Every other one is a crash.
ERRORS = {1: "usage", 2: "input", 3: "unsupported", 6: "internal"}


class Tool(benchexec.tools.template.BaseTool2):
    REQUIRED_PATHS = ["qverify", "qverify-check"]

    def name(self):
        return "qverify"

    def executable(self, tool_locator):
        return tool_locator.find_executable("qverify")

    def version(self, executable):
        return self._version_from_tool(executable).removeprefix("qverify").strip()

    def cmdline(self, executable, options, task, rlimits):
        own = (task.options or {}).get("arguments", []) if isinstance(task.options, dict) else []
        return [executable, *options, *map(str, own), *task.input_files_or_identifier]

    def determine_result(self, run):
        if run.was_timeout:
            return result.RESULT_TIMEOUT
        if run.exit_code is None or run.exit_code.value is None:
            return result.RESULT_ERROR + " (killed)"
        # The verdict is the last line that is not indented; below it stands what to try next.
        verdict = next((line.split(":")[0].split()[0] for line in reversed(list(run.output)) if line.strip() and not line[0].isspace()), "")
        # A proof or a counterexample needs both: the code and the word.
        if run.exit_code.value == 0 and verdict == "VERIFIED":
            return result.RESULT_TRUE_PROP
        if run.exit_code.value == 10 and verdict == "FALSIFIED":
            return result.RESULT_FALSE_PROP
        if run.exit_code.value == 5:
            return result.RESULT_UNKNOWN
        return f"{result.RESULT_ERROR} ({ERRORS.get(run.exit_code.value, run.exit_code.value)})"
