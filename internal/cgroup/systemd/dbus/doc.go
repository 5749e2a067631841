// Package dbus is a small D-Bus client: enough to ask systemd for units, over a Unix socket,
// from one goroutine. It exists because the common library (github.com/godbus/dbus/v5) brings
// package net and 1.2 MB into a program that must start in a millisecond.
//
//	conn, err := dbus.Dial("unix:path=/run/dbus/system_bus_socket", deadline)
//	reply, err := conn.Call(dbus.Message{
//		Destination: "org.freedesktop.systemd1", Path: "/org/freedesktop/systemd1",
//		Interface: "org.freedesktop.systemd1.Manager", Member: "StopUnit",
//		Body: []dbus.Value{dbus.String("x.scope"), dbus.String("replace")},
//	}, deadline)
//
// # Terms
//
// As in the D-Bus specification, version 0.43 (https://dbus.freedesktop.org/doc):
//
//   - value: a typed datum; its type is written as a signature ("u", "as", "a(sv)").
//   - message: method call, reply, error or signal: a header and a body of values.
//
// The wire form of a message, little-endian as we send it, each part padded to its alignment:
//
//	byte    'l' or 'B', type, flags, version 1
//	uint32  length of the body, serial
//	a(yv)   header fields: path, interface, member, …
//	        padding to 8 bytes
//	…       body
//
// # Limits
//
// What a peer sends is bounded before it is stored: 1 MiB a message, 32 levels of nesting,
// 1,024 signals that nobody has asked for yet. Every wait has a deadline.
package dbus
