# Sourced by scripts/run and scripts/test: finds what they need or installs it where that takes no question, else says what to do and ends.

readonly oldest_postgres=13

# One line for each argument. To stderr: stdout belongs to the service and to the tests.
say() { printf '%s\n' "$@" >&2; }

give_up() {
  say "$@"
  exit 1
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n -- "$@"; fi
}

can_apt() {
  command -v apt-get >/dev/null && { [ "$(id -u)" -eq 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }; }
}

apt_install() {
  say "Installing $* (apt-get) ..."
  as_root apt-get -q update >&2 </dev/null
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends --no-upgrade install "$@" >&2 </dev/null
}

need_dotnet() {
  local place
  if ! command -v dotnet >/dev/null; then
    for place in "${DOTNET_ROOT:-}" "${HOME:-}/.dotnet" /usr/share/dotnet /usr/lib/dotnet /usr/local/share/dotnet; do
      if [ -x "$place/dotnet" ]; then
        export PATH="$place:$PATH"
        break
      fi
    done
  fi
  if ! dotnet --list-sdks 2>/dev/null | grep -q '^10\.'; then
    give_up "The .NET 10 SDK was not found. Install it and start again: https://dotnet.microsoft.com/download/dotnet/10.0" \
      "(Ubuntu, Fedora: package dotnet-sdk-10.0; macOS: brew install --cask dotnet-sdk), and see that 'dotnet' is on the PATH."
  fi
  export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1
}

# The places that the service itself searches (Hosting/PostgresBinaries.cs).
has_postgres() {
  local folder version
  local -a folders
  if [ -n "${PGBIN:-}" ]; then
    folders=("$PGBIN")
  else
    IFS=: read -r -a folders <<<"$PATH"
    folders+=(/usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/local/pgsql*/bin /usr/libexec/postgresql* /opt/homebrew/opt/postgresql*/bin
      /usr/local/opt/postgresql*/bin /home/linuxbrew/.linuxbrew/opt/postgresql*/bin /Applications/Postgres.app/Contents/Versions/*/bin /Library/PostgreSQL/*/bin)
  fi
  for folder in "${folders[@]}"; do
    if [ -x "$folder/postgres" ] && [ -x "$folder/initdb" ]; then
      version=$("$folder/postgres" --version 2>/dev/null | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
      if [ "${version:-0}" -ge "$oldest_postgres" ]; then return 0; fi
    fi
  done
  return 1
}

# Debian's package would make a cluster on port 5432 and start it with the machine; we want the programs alone.
# The setting counts only while we install. Clusters that exist are not touched.
apt_install_postgres() {
  local setting=/etc/postgresql-common/createcluster.d/campaigns.conf failed=0
  as_root mkdir -p "${setting%/*}"
  as_root sh -c "echo 'create_main_cluster = false' >$setting"
  apt_install postgresql || failed=1
  as_root rm -f "$setting"
  return "$failed"
}

need_postgres() {
  if has_postgres; then return; fi
  if [ -n "${PGBIN:-}" ]; then give_up "PGBIN=$PGBIN holds no PostgreSQL server of version $oldest_postgres or newer."; fi
  if can_apt; then
    apt_install_postgres || true
  elif command -v brew >/dev/null; then
    say "Installing postgresql@17 (Homebrew) ..."
    brew install postgresql@17 >&2 </dev/null || true
  fi
  if has_postgres; then return; fi
  give_up "No PostgreSQL server of version $oldest_postgres or newer was found, and it could not be installed from here. Install one and start again:" \
    "  Debian, Ubuntu:  sudo apt-get install postgresql" \
    "  Fedora, RHEL:    sudo dnf install postgresql-server" \
    "  macOS:           brew install postgresql@17" \
    "or name the folder of its programs in PGBIN."
}

# A test verifies our signatures with a library from the npm registry; it fetches that itself, into the user's cache.
need_node() {
  if command -v node >/dev/null && command -v npm >/dev/null; then return; fi
  if can_apt; then
    apt_install nodejs npm || true
  elif command -v brew >/dev/null; then
    say "Installing node (Homebrew) ..."
    brew install node >&2 </dev/null || true
  fi
  if command -v node >/dev/null && command -v npm >/dev/null; then return; fi
  give_up "A test needs Node.js and npm, and they could not be installed from here. Install them and start again" \
    "(Debian: sudo apt-get install nodejs npm; macOS: brew install node)."
}

# The tests that drive a browser read CHROMIUM_PATH.
find_chromium() {
  local name
  for name in "${CHROMIUM_PATH:-}" chromium chromium-browser google-chrome google-chrome-stable \
    "/Applications/Chromium.app/Contents/MacOS/Chromium" "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do
    if [ -n "$name" ] && command -v "$name" >/dev/null; then
      CHROMIUM_PATH=$(command -v "$name")
      export CHROMIUM_PATH
      return 0
    fi
  done
  return 1
}

need_chromium() {
  if find_chromium; then return; fi
  if can_apt; then apt_install chromium || true; fi
  find_chromium || give_up "The browser tests need Chromium, and it could not be installed from here. Install it (Debian: sudo apt-get install chromium;" \
    "macOS: brew install --cask chromium) or name the program in CHROMIUM_PATH."
}
