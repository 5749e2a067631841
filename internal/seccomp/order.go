package seccomp

import (
	"cmp"
	"errors"
	"slices"
)

// Several rules for one call, none of which is unconditional, are tried one after the other. The order only matters
// where rules of different actions overlap. It is the order in which a libseccomp filter meets them, so that a profile
// means the same here. Each condition is one or two keys, the high word's (64-bit ABIs) and the low word's; rules are
// compared key by key:
//
//  1. the larger argument index comes first;
//  2. then by kind: EQ, NE and MASKED_EQ, then LT and LE, then GT and GE;
//  3. then the larger word of the value, for LT and LE the smaller one: the narrower range;
//  4. then, if the keys differ in the operator or the mask, whichever is named first in the profile;
//  5. a rule whose keys are a prefix of another's comes before it, and so hides it.
//
// Two rules with the same conditions but different actions contradict each other: libseccomp refuses the second
// (EEXIST). It does so as well when the first is the more specific one of the two and the second its prefix; in the
// opposite order the second is simply never reached.

// word is one key of a condition.
type word struct {
	place uint8  // argument index and high (1) or low (0) word: larger comes first
	kind  uint8  // 0: EQ, NE, MASKED_EQ; 1: LT, LE; 2: GT, GE
	test  uint8  // what the instruction does; EQ and NE make the same test and use its outcome the other way round
	value uint32 // of the condition, masked
	mask  uint32
}

// ordered is a rule on its way through sortRules.
type ordered struct {
	rule
	words []word
	index int // in the profile's order
	group int // index of the first rule with the same word at the current depth
}

var errConflict = errors.New("two rules give different actions for the same conditions")

// sortRules puts conditional rules into the order in which they are tried and drops repeated ones.
func sortRules(rules []rule, wide bool) ([]rule, error) {
	list := make([]ordered, len(rules))
	for i, r := range rules {
		list[i] = ordered{rule: r, words: wordsOf(r, wide), index: i}
	}
	list, err := dropRepeated(list)
	if err != nil {
		return nil, err
	}
	sortFrom(list, 0)
	rules = rules[:0]
	for _, o := range list {
		rules = append(rules, o.rule)
	}
	return rules, nil
}

func wordsOf(r rule, wide bool) []word {
	words := make([]word, 0, 2*len(r.conds))
	for _, c := range r.conds {
		high := word{place: c.arg<<1 | 1, value: uint32(c.value >> 32), mask: uint32(c.mask >> 32)}
		low := word{place: c.arg << 1, value: uint32(c.value), mask: uint32(c.mask)}
		switch c.op {
		case opEQ, opNE:
		case opMasked:
			high.test, low.test = 1, 1
		case opLT:
			high.kind, low.kind = 1, 1
			high.test, low.test = 2, 3 // the high words are compared by >, whatever the operator
		case opLE:
			high.kind, low.kind = 1, 1
			high.test, low.test = 2, 2
		case opGE:
			high.kind, low.kind = 2, 2
			high.test, low.test = 2, 3
		case opGT:
			high.kind, low.kind = 2, 2
			high.test, low.test = 2, 2
		}
		if wide {
			words = append(words, high)
		}
		words = append(words, low)
	}
	return words
}

// dropRepeated removes rules that were given before with the same action and fails on contradictions.
func dropRepeated(list []ordered) ([]ordered, error) {
	slices.SortFunc(list, func(a, b ordered) int {
		return cmp.Or(slices.CompareFunc(a.conds, b.conds, compareConds), cmp.Compare(a.index, b.index))
	})
	kept := list[:0]
	var prefixes []ordered // of the current rule, each one a prefix of the next; at most one per length
	for _, o := range list {
		for len(prefixes) > 0 && !isPrefix(prefixes[len(prefixes)-1].conds, o.conds) {
			prefixes = prefixes[:len(prefixes)-1]
		}
		repeated := false
		for _, p := range prefixes {
			if len(p.conds) == len(o.conds) {
				repeated = true
			}
			if p.ret != o.ret && (len(p.conds) == len(o.conds) || p.index > o.index) {
				return nil, errConflict
			}
		}
		if !repeated {
			prefixes = append(prefixes, o)
			kept = append(kept, o)
		}
	}
	return kept, nil
}

func compareConds(a, b cond) int {
	return cmp.Or(cmp.Compare(a.arg, b.arg), cmp.Compare(a.op, b.op), cmp.Compare(a.mask, b.mask), cmp.Compare(a.value, b.value))
}

func isPrefix(short, long []cond) bool {
	return len(short) <= len(long) && slices.Equal(short, long[:len(short)])
}

// sortFrom sorts rules that agree in the first depth words.
func sortFrom(list []ordered, depth int) {
	if len(list) < 2 {
		return
	}
	// Which rules share the word, and which of them was first?
	slices.SortFunc(list, func(a, b ordered) int {
		return cmp.Or(slices.CompareFunc(at(a, depth), at(b, depth), compareTests), cmp.Compare(a.index, b.index))
	})
	for i := range list {
		if i > 0 && slices.EqualFunc(at(list[i-1], depth), at(list[i], depth), sameTest) {
			list[i].group = list[i-1].group
		} else {
			list[i].group = list[i].index
		}
	}
	slices.SortFunc(list, func(a, b ordered) int {
		return cmp.Or(slices.CompareFunc(at(a, depth), at(b, depth), compareWords), cmp.Compare(a.group, b.group),
			cmp.Compare(a.index, b.index))
	})
	for start := 0; start < len(list); {
		end := start + 1
		for end < len(list) && list[end].group == list[start].group {
			end++
		}
		if depth < len(list[start].words) {
			sortFrom(list[start:end], depth+1)
		}
		start = end
	}
}

// at returns the word at the given depth, as a slice that is empty past the end.
func at(o ordered, depth int) []word {
	if depth < len(o.words) {
		return o.words[depth : depth+1]
	}
	return nil
}

// compareWords implements 1. to 3. of the order above.
func compareWords(a, b word) int {
	byValue := cmp.Compare(b.value, a.value)
	if a.kind == 1 {
		byValue = -byValue
	}
	return cmp.Or(cmp.Compare(b.place, a.place), cmp.Compare(a.kind, b.kind), byValue)
}

func compareTests(a, b word) int {
	return cmp.Or(cmp.Compare(a.place, b.place), cmp.Compare(a.kind, b.kind), cmp.Compare(a.test, b.test),
		cmp.Compare(a.value, b.value), cmp.Compare(a.mask, b.mask))
}

func sameTest(a, b word) bool { return compareTests(a, b) == 0 }
