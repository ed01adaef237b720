# shellcheck shell=bash
# Loaded by Netdata's charts.d.plugin, so there is no line that names a shell.
#
# Charts of the rates in the CSV that `ssmonitor run` publishes, for Netdata
# installations that use charts.d. The external plugin (ssmonitor.plugin) shows
# more and costs less. Both may run: their charts have different ids.
#
# These settings may be changed in charts.d/ssmonitor.conf:

# The CSV: the agent's --csv.
ssmonitor_csv="/run/ssmonitor/ssmonitor.csv"

# The agent's --interval in seconds, rounded up. A file is stale if it is older
# than three intervals and older than ten seconds.
ssmonitor_interval=2

# Seconds between two updates. If it is empty, Netdata's own setting applies.
ssmonitor_update_every=

# The position of the charts on the dashboard.
ssmonitor_priority=60100

# For each port with charts, how many updates in a row it has been missing.
declare -A ssmonitor_missing=()

# After this many updates its charts are obsolete.
ssmonitor_patience=10

# The output of an update, collected to be written at once.
ssmonitor_output=""

# Always succeeds: charts.d drops a module whose check fails, but the agent may
# start later than Netdata.
ssmonitor_check() {
  return 0
}

ssmonitor_create() {
  return 0
}

# Argument: microseconds since the last update, empty at the first. It never
# fails, since charts.d drops a module that keeps failing. A missing or stale
# file shows as a gap.
ssmonitor_update() {
  local since="$1" port
  local -A present=()

  ssmonitor_output=""
  if ssmonitor_fresh; then
    ssmonitor_read "$since"
  fi
  for port in "${!ssmonitor_missing[@]}"; do
    [ -n "${present[$port]}" ] && continue
    ssmonitor_missing[$port]=$((ssmonitor_missing[$port] + 1))
    if [ "${ssmonitor_missing[$port]}" -gt "$ssmonitor_patience" ]; then
      ssmonitor_charts "$port" obsolete
      unset "ssmonitor_missing[$port]"
    fi
  done
  printf '%s' "$ssmonitor_output"
  return 0
}

# Succeeds if the file exists and is not stale.
ssmonitor_fresh() {
  local modified now limit=$((ssmonitor_interval * 3))

  [ "$limit" -lt 10 ] && limit=10
  modified=$(stat -L -c %Y -- "$ssmonitor_csv" 2>/dev/null) || return 1
  printf -v now '%(%s)T' -1
  [ $((now - modified)) -le "$limit" ]
}

# Reads the file and marks its ports in the caller's `present`. Lines in another
# format are ignored.
ssmonitor_read() {
  local since="$1" port packets_in packets_out bytes_in bytes_out rate='^[0-9]{1,15}\.[0-9]{3}$'

  while IFS=, read -r port packets_in packets_out bytes_in bytes_out; do
    [[ $port =~ ^[1-9][0-9]{0,4}$ && $packets_in =~ $rate && $packets_out =~ $rate &&
      $bytes_in =~ $rate && $bytes_out =~ $rate ]] || continue
    present[$port]=1
    ssmonitor_port "$since"
  done 2>/dev/null <"$ssmonitor_csv"
}

# Prints the values of the port in the variables of ssmonitor_read.
ssmonitor_port() {
  local since="$1"

  if [ -z "${ssmonitor_missing[$port]}" ]; then
    ssmonitor_charts "$port" ''
    since=
  elif [ "${ssmonitor_missing[$port]}" -gt 0 ]; then
    since= # After a gap Netdata uses its own clock.
  fi
  ssmonitor_missing[$port]=0
  ssmonitor_values "port_${port}_traffic" "$since" "$bytes_in" "$bytes_out"
  ssmonitor_values "port_${port}_packets" "$since" "$packets_in" "$packets_out"
}

# Arguments: chart, microseconds, received rate, sent rate. Without its dot a rate
# is a whole number of thousandths; 10# keeps leading zeros from making it octal.
ssmonitor_values() {
  ssmonitor_output+="BEGIN ssmonitor_csv.$1 $2
SET received = $((10#${3/./}))
SET sent = $((10#${4/./}))
END
"
}

# Arguments: port, options of its charts. Bytes become kilobits: 8 / 1000, and
# 1000 more for the thousandths.
ssmonitor_charts() {
  ssmonitor_output+="CHART ssmonitor_csv.port_$1_traffic '' 'Traffic of port $1 (CSV)' 'kilobits/s' 'port $1' 'ssmonitor_csv.port_traffic' area $ssmonitor_priority '$ssmonitor_update_every' '$2' '' 'ssmonitor'
DIMENSION received '' absolute 8 1000000
DIMENSION sent '' absolute -8 1000000
CHART ssmonitor_csv.port_$1_packets '' 'Packets of port $1 (CSV)' 'packets/s' 'port $1' 'ssmonitor_csv.port_packets' line $((ssmonitor_priority + 1)) '$ssmonitor_update_every' '$2' '' 'ssmonitor'
DIMENSION received '' absolute 1 1000
DIMENSION sent '' absolute -1 1000
"
}
