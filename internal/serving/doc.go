// Package serving serves HTTP to clients that may be slow or mean harm, on unix sockets
// and over TCP: their number, their time and the memory that they hold are bounded. It
// knows nothing of what is served.
package serving
