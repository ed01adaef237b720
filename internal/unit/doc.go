// Package unit is what a process of ssmonitor does because it is a unit of systemd: it
// says how it is (sd_notify), keeps to the unit's memory, and explains what the unit
// forbids.
package unit
