// Package control is how root changes what a running agent does: the agent serves
// control.sock, and commands are its clients.
//
// # Who may change anything
//
// The socket has mode 0600, and its listener refuses every peer but user 0 without
// looking at its request. That includes the agent's own user: a process of that
// user, such as one that serves the network, must not gain by the socket what the
// agent may do. In return, a client sends nothing unless the process that listens is
// root's or belongs to the owner of the state directory, since the socket may lie in
// a directory that others write to.
//
// # Requests
//
// A request is a POST with one JSON object in its body. The agent answers 204 when
// the change is made and durable, and otherwise with a status and the JSON object
// {"error": "..."}; nothing has changed then.
//
//	POST /v1/clients/new      {"port": 20000, "name": "dave"}
//	POST /v1/clients/forget   {"name": "alice", "first": 1, "last": 65535}
//
// The header Ssmonitor-State, if there is one, names the state directory that the
// change is meant for. An agent that holds another one answers 412.
//
// A new kind of request is a method of [Changes], a struct with its members, and a line
// in [NewHandler] and in [Client].
package control
