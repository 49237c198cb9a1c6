# Heroku sources this when a dyno starts. Its add-ons set other variables than ours, and its Redis
# has a certificate that it signed itself.
if [ -n "${DATABASE_URL:-}" ] && [ -z "${HISTORY_URL:-}" ]; then
  export HISTORY_URL="$DATABASE_URL"
fi
case "${REDIS_URL:-}" in
  rediss://*\?*) ;;
  rediss://*) export REDIS_URL="$REDIS_URL?ssl_cert_reqs=none" ;;
esac
