# docker build -t error-ingestor .                                          the server, beside a ClickHouse
# docker build -t error-ingestor:standalone --target standalone .           with ClickHouse inside, for trials
#
# Both targets run as any user on a read-only root; only DATA_DIR (/data) is written.
ARG NODE_IMAGE=node:24-slim

# Build: everything of the lock file. Install scripts stay off: what they fetch (the `node` package,
# for machines with an older Node) is in the base already, and nothing else needs them.
FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY esbuild.config.ts tsconfig.json LICENSE ./
COPY src ./src
# Not `npm run build`: that looks for node in node_modules/.bin first. Only the edge has no use here.
RUN node esbuild.config.ts \
 && rm dist/edge.js

# Prune: the packages that dist/ imports, each with its licence; types, maps and sources serve nobody.
FROM build AS embedded
RUN npm prune --omit=dev --ignore-scripts --no-audit --no-fund \
 && find dist node_modules -type f \( -name '*.map' -o -name '*.ts' -o -name '*.[cm]ts' \) -delete \
 && rm -rf node_modules/@chdb/*/chdb_node.node \
 && find node_modules -depth -type d -empty -delete

FROM embedded AS lean
RUN npm prune --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund \
 && rm -rf node_modules/.bin \
 && find node_modules -depth -type d -empty -delete

# Run: what both targets share.
FROM ${NODE_IMAGE} AS runtime
# No package manager where nothing is to be installed. /data belongs to group 0, so that a user
# given by number (docker gives it that group) can write there too.
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack \
      /usr/local/bin/yarn* /opt/yarn* \
 && mkdir /data \
 && chown 10001:0 /data \
 && chmod 0775 /data
ENV NODE_ENV=production \
    DATA_DIR=/data \
    PORT=3000
WORKDIR /app
USER 10001:0
EXPOSE 3000
VOLUME ["/data"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["node", "-e", "const {HOST:h,PORT:port}=process.env;require('node:http').get({host:!h||h==='::'||h==='0.0.0.0'?'localhost':h,port,path:'/health/live',timeout:4000},(answer)=>process.exit(answer.statusCode===200?0:1)).on('timeout',()=>process.exit(1)).on('error',()=>process.exit(1))"]
# Node is process 1 and takes the signals itself.
ENTRYPOINT ["node", "/app/dist/main.js"]
CMD ["serve"]

ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="error-ingestor" \
      org.opencontainers.image.description="Takes the errors of client apps, keeps every one of them safe, stores them in ClickHouse, groups them into issues, and shows them." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

FROM runtime AS standalone
ENV CLICKHOUSE_HOST=embedded
COPY --from=embedded /app/package.json /app/LICENSE ./
COPY --from=embedded /app/node_modules ./node_modules
COPY --from=embedded /app/dist ./dist

# The last target is the one that is built when none is named.
FROM runtime AS server
COPY --from=lean /app/package.json /app/LICENSE ./
COPY --from=lean /app/node_modules ./node_modules
COPY --from=lean /app/dist ./dist
