"""The prediction server: a small ASGI app on uvicorn. No pandas, Prefect or MLflow in its process.

process     __main__, workers, settings, lean, guard: started by `pillars serve`, what it is told, what it keeps out, slow heads
who answers policy, snapshot, constant, watcher, routing: the traffic file, its arms held warm, what stands in for them, whose a row is
a request   app, body, problems: paths, limits and tokens, what is refused and how
rows        contract, decoding, invocations, inference: columns, strict decoders, MLflow's formats, the Open Inference Protocol
answers     batching, answering, shadowing: rows of one moment scored together, a request's answers, those of shadows
record      log, journal, sealed: every answered request, written before its answer, those of one moment by one write; in a form that the
            server itself cannot read where it is asked for
for people  metrics, openapi: Prometheus, the description of what it takes
"""
