// Package agent is what `ssmonitor run` runs: a loop that reads the counters, keeps the
// totals, hands the rates to watchers, repairs the table and follows the sources of the ports,
// and the sockets on which it answers readers and root.
//
// Everything happens in the loop, one thing after the other, except for what the servers
// answer; those ask the meter, which is safe for concurrent use.
package agent
