"""Samples per second of native TFLite on the same models: one thread, batch 1, shortest of many bursts."""
import sys
import time

try:
    import ai_edge_litert.interpreter as tfl
except ImportError:
    try:
        import tflite_runtime.interpreter as tfl
    except ImportError:
        print("SKIPPED: neither ai_edge_litert nor tflite_runtime in", sys.executable)
        sys.exit(0)


def seconds(path, resolver):
    it = tfl.Interpreter(model_path=path, num_threads=1, experimental_op_resolver_type=resolver)
    it.allocate_tensors()
    it.invoke()
    best = 1e9
    for _ in range(40):
        start = time.perf_counter()
        for _ in range(32):
            it.invoke()
        best = min(best, (time.perf_counter() - start) / 32)
    return best


kinds = tfl.OpResolverType
for model in sys.argv[1:]:
    for name, kind in (("XNNPACK", kinds.AUTO), ("built-in kernels", kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES)):
        try:
            t = seconds(model, kind)
            print(f"native TFLite ({tfl.__name__}), {name:16} {1 / t:9.0f} samples/s  {t * 1e6:8.2f} us/sample  {model}")
        except Exception as e:  # a model that this runtime refuses
            print(f"native TFLite, {name}: SKIPPED: {model}: {e}")
