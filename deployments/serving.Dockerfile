# The prediction server alone, from the project's folder: docker build -f deployments/serving.Dockerfile -t team/serving:1 .
# Only what pillars/deployment/server imports: no pandas, MLflow, Prefect. xgboost-cpu instead of xgboost, whose wheel brings 0.5 GB for GPUs.
FROM python:3.11-slim
RUN pip install --no-cache-dir "xgboost-cpu==3.2.*" "numpy>=2" "msgspec>=0.19" "uvicorn>=0.30" "httptools>=0.6" "uvloop>=0.19" "prometheus-client>=0.20" "cryptography>=44"
WORKDIR /opt/pillars
COPY pillars pillars
ENV PYTHONPATH=/opt/pillars PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1
RUN python -m compileall -q pillars
USER 10001
EXPOSE 8080
ENTRYPOINT ["python", "-m", "pillars.deployment.server"]
CMD ["/etc/pillars/serve.json"]
