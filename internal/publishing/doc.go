// Package publishing finds where the host forwards what clients send to counted
// ports, so that it is counted there: to containers, mostly.
//
// Such a target is the address and the port of a container. It comes from one of
// these, in this order:
//
//   - the operator, who names it: --port 8388@172.17.0.2:8388
//   - the rules of others, as package nft/survey understands them
//   - the services of IPVS
//   - the table, which still counts a target that no rule leads to any more, until
//     the last connection with it has ended
//   - a connection whose destination is translated, whatever the rules look like
//
// Whatever may be published and has no target is a finding, with a remedy.
package publishing
