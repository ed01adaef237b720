// Package health is what a process knows to be wrong with itself: one list, from which the
// agent's socket, its metrics, systemd and `ssmonitor check` take what they show.
package health
