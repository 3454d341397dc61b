# docker build -t crier . && docker run -p 8080:8080 crier
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o /crier ./cmd/crier && mkdir /data /empty

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /crier /crier
COPY --from=build --chown=65532:65532 /data /data
# The servers of a cluster that has no --data need it.
COPY --from=build --chown=65532:65532 /empty /tmp
USER 65532:65532
ENV CRIER_LISTEN=:8080 XDG_CONFIG_HOME=/data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=2s CMD ["/crier", "health"]
ENTRYPOINT ["/crier"]
CMD ["serve"]
