"""What the tool-info module makes of real runs, and of outputs that must not pass. Lines "ok ..." and "not ok ..."."""

import os
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

import benchexec.model
import benchexec.result as r
import benchexec.tools.template as template
from benchexec.util import ProcessExitCode

from contrib.benchexec import qverify

root = Path(__file__).resolve().parents[2]
program = os.environ["QVERIFY"]
tool = qverify.Tool()
bad = False


def check(name, got, want):
    global bad
    bad |= got != want
    print(f"{'ok' if got == want else 'not ok'} BenchExec: {name}: {got}" + ("" if got == want else f", expected {want}"))


def judge(command, output, code=None, signal=None, reason=None):
    run = template.BaseTool2.Run(command, ProcessExitCode.create(value=code, signal=signal) if reason is None or code is not None else None,
                                 template.BaseTool2.RunOutput(output), reason)
    return tool.determine_result(run)


def execute(options, files, task_options=None):
    task = template.BaseTool2.Task.with_files(files, options=task_options)
    command = tool.cmdline(program, options, task, template.BaseTool2.ResourceLimits())
    p = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL, cwd=root)
    return judge(command, p.stdout.splitlines(keepends=True), p.returncode)


s = str(root / "examples/shapes")
images = ["--input", s + "/test_images.npy", "--labels", s + "/test_labels.txt"]
check("proved", execute(["overflow"], [s + "/shapes.tflite"]), r.RESULT_TRUE_PROP)
check("refuted", execute(["overflow", "--acc-bits", "16"], [s + "/wide.tflite"]), r.RESULT_FALSE_PROP)
check("options of a task", execute(["overflow"], [s + "/wide.tflite"], {"arguments": ["--acc-bits", 16]}), r.RESULT_FALSE_PROP)
check("open", execute(["robust", *images, "--index", "0:0", "--eps", "3", "--timeout", "0.05"], [s + "/shapes.tflite"]), r.RESULT_UNKNOWN)
check("no such file", execute(["overflow"], ["/nowhere.tflite"]), "ERROR (input)")
check("no such option", execute(["overflow", "--no-such"], [s + "/shapes.tflite"]), "ERROR (usage)")
proved = ["table\n", "VERIFIED: all\n"]
check("proved, but too late", judge(["q"], proved, 0, reason="cputime"), r.RESULT_TIMEOUT)
check("proved, but exit 5", judge(["q"], proved, 5), r.RESULT_UNKNOWN)
check("exit 0 without a word", judge(["q"], [], 0), "ERROR (0)")
check("exit 0 and FALSIFIED", judge(["q"], ["FALSIFIED: x\n"], 0), "ERROR (0)")
check("exit 10 and VERIFIED", judge(["q"], proved, 10), "ERROR (10)")
check("VERIFIED in an earlier line", judge(["q"], ["VERIFIED: layer 1\n", "stopped\n"], 0), "ERROR (0)")
check("killed by a signal", judge(["q"], proved, signal=9), "ERROR (killed)")
check("failed check", judge(["q"], proved, 6), "ERROR (internal)")
prop = r.Property.create(str(root / "contrib/benchexec/tasks/no-overflow-32.prp"))
want = {prop.filename: r.ExpectedResult(True, None)}
for got, category in ((r.RESULT_TRUE_PROP, r.CATEGORY_CORRECT), (r.RESULT_FALSE_PROP, r.CATEGORY_WRONG), (r.RESULT_UNKNOWN, r.CATEGORY_UNKNOWN),
                      (r.RESULT_TIMEOUT, r.CATEGORY_ERROR), ("ERROR (internal)", r.CATEGORY_ERROR)):
    check(f"'{got}' where true is expected", r.get_result_category(want, got, [prop]), category)

# The benchmark definition and its tasks exist and are well formed.
folder = root / "contrib/benchexec"
definition = xml.parse(folder / "qverify.xml").getroot()
check("the definition's tool", definition.get("tool"), "contrib.benchexec.qverify")
tasks = [t for i in definition.iter("include") for t in folder.glob(i.text)]
check("its tasks", len(tasks), 2)
files = [f for t in tasks for f in benchexec.model.load_task_definition_file(str(t))["input_files"].split()]
check("their files are there", all((folder / "tasks" / f).exists() for f in files), True)
sys.exit(bad)
