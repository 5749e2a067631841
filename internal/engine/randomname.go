package engine

import (
	"crypto/rand"
	"strings"
)

// A container without a name gets one like Docker's: adjective_surname. The surnames are of people
// whose work containers stand on: Unix and its heirs, kernels, networks, packaging.
const (
	adjectives = `able amber apt arctic ardent bold brave breezy bright brisk calm candid careful cheerful civil clear
clever coral cosmic cozy crisp curious daring deep deft eager early earnest easy even fair fast fearless festive fine firm
fluent focused fond frank free fresh gallant gentle glad golden graceful grand happy hardy honest hopeful humble jolly
keen kind lively loyal lucid lucky mellow merry mild modest neat nimble noble open patient placid plain playful polite
proud prudent quick quiet ready relaxed robust serene sharp silent sincere sleek sly smooth snug sober solid spry stable
steady stoic sturdy sunny sure swift tender tidy trusting upbeat vivid warm wary wise witty zesty`
	surnames = `aho allman backus baran bartik bell berners boole booth bourne brooks brunner cerf clark codd conway corbato
curie dahl davies dean deering dijkstra eckert engelbart euler farber feynman fielding floyd gauss goldberg gosling gray
hamilton hamming holberton hopper huffman iverson jacobson joy kahn kay keller kernighan kildall kleinrock knuth lamport
lampson leffler lions liskov lovelace mauchly mccarthy mccluskey mcilroy mcnulty metcalfe milner minsky mockapetris morris
moore neumann newell nygaard ossanna perlis perlman perry pike plauger postel presotto quinlan rabin ritchie saltzer
salus sammet schroeder shannon simon stallman strachey sussman sutherland tanenbaum tarjan thompson torvalds turing
wall weinberger wilkes wilkinson wirth yao zuse`
)

// randomName proposes a name. From the second attempt on it ends in a digit.
func randomName(attempt int) string {
	var raw [5]byte
	_, _ = rand.Read(raw[:]) // never fails
	pick := func(words string, a, b byte) string {
		list := strings.Fields(words)
		return list[(int(a)<<8|int(b))%len(list)]
	}
	name := pick(adjectives, raw[0], raw[1]) + "_" + pick(surnames, raw[2], raw[3])
	if attempt > 0 {
		name += string('0' + rune(raw[4]%10))
	}
	return name
}
