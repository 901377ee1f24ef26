# The operator. `docker build .` takes packages from the index, by hash; where there is no network, put wheels of
# requirements/run.txt into wheelhouse/ before.
ARG BASE=docker.io/library/python:3.11-slim-bookworm
FROM ${BASE} AS build
# One name that is always there beside one that may not be: some builders refuse a pattern that matches nothing.
COPY requirements/run.txt wheelhous[e] /wheelhouse/
COPY operator /src/operator
RUN python3 -m venv /opt/lastgood \
    && if ls /wheelhouse/*.whl >/dev/null 2>&1; then set -- --no-index --find-links /wheelhouse; else set --; fi \
    && /opt/lastgood/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes "$@" -r /wheelhouse/run.txt \
    && cp -r /src/operator/lastgood "$(/opt/lastgood/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/" \
    && printf '#!/opt/lastgood/bin/python\nimport sys\nfrom lastgood.cli.main import main\nsys.exit(main())\n' > /opt/lastgood/bin/lastgood \
    && chmod +x /opt/lastgood/bin/lastgood \
    && /opt/lastgood/bin/pip uninstall --yes --quiet --disable-pip-version-check pip setuptools \
    && /opt/lastgood/bin/python -m compileall -q /opt/lastgood/lib

FROM ${BASE}
COPY --from=build /opt/lastgood /opt/lastgood
ENV PATH=/opt/lastgood/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
ENTRYPOINT ["lastgood"]
CMD ["run"]
