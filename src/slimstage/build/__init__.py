"""The engine: scheduler, COPY, RUN, assembly, outputs."""
