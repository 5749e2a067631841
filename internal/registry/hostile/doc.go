// Package hostile is a registry that misbehaves on purpose, for tests of whatever pulls from registries.
//
// # Use
//
//	for _, b := range hostile.Behaviours() {
//		srv := hostile.Start(b)
//		err := pull(srv.Host(), hostile.User, hostile.Password) // of the repository hostile.Repository, tag hostile.Tag
//		srv.Heal()                                              // from here on it is a good registry
//		…
//		srv.Close()
//	}
//
// A [Server] is two registries on loopback, over plain HTTP: the one that is pulled from, which asks for a login (by a token
// server of its own, or by Basic where a behaviour is about that), and the thief, another host that serves the same image to
// everybody and notes whether a secret came its way. Without a behaviour both are good.
//
// [Behaviour.Want] is the verdict: what a good client makes of it. Either way a client has bounded time and memory,
// gives one error without a secret in it, and the next pull works; [Server.Stolen] is empty.
package hostile
