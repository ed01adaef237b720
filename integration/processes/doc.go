// Package processes finds the Shadowsocks servers that run on this host: which
// configurations they were started with, which ports their command lines name, and at
// which ports they listen. It reads what /proc shows, and runs no program.
//
// Only the processes of the network namespace of the calling thread count. A process
// can be seen by its command line without any privilege; its working directory and its
// sockets only by who may trace it, as root may.
//
// Any user may start a program under any name. So what root's processes say counts, but
// of a file that another user's process names only what root wrote: see Server.Resolve.
// Nothing of a command line is kept but paths and port numbers.
package processes
