package seccomp

import "slices"

// span is a range of 64-bit (or 32-bit) values, up to the start of the next span, that all lead to one target.
type span struct {
	start uint64
	to    target
}

// decide emits the tests of an ordered list of rules and returns where they begin. Rules with one comparison each on
// the same argument become one search over that argument's values; others are tried one after the other.
func (a *assembler) decide(rules []rule, otherwise target, wide bool) target {
	end := len(rules)
	for end > 0 && !a.full {
		start := end - 1
		if isRange(rules[start]) {
			for start > 0 && isRange(rules[start-1]) && rules[start-1].conds[0].arg == rules[start].conds[0].arg {
				start--
			}
			choices := make([]choice, 0, end-start)
			for _, r := range rules[start:end] {
				choices = append(choices, choice{r.conds[0], verdict(r.ret)})
			}
			otherwise = a.spans(rules[start].conds[0].arg, spansOf(choices, otherwise, wide), wide)
		} else {
			otherwise = a.conjunction(rules[start], otherwise, wide)
		}
		end = start
	}
	return otherwise
}

// isRange tells whether a rule has one condition, and that one a comparison.
func isRange(r rule) bool {
	return len(r.conds) == 1 && r.conds[0].op != opMasked
}

// conjunction emits the tests of a rule with several conditions or a mask.
func (a *assembler) conjunction(r rule, otherwise target, wide bool) target {
	to := verdict(r.ret)
	for _, c := range slices.Backward(r.conds) {
		if c.op == opMasked {
			to = a.masked(c, to, otherwise, wide)
		} else {
			to = a.spans(c.arg, spansOf([]choice{{c, to}}, otherwise, wide), wide)
		}
	}
	return to
}

// masked emits the test (argument & mask) == value.
func (a *assembler) masked(c cond, yes, no target, wide bool) target {
	yes = a.maskedWord(offArgs+8*uint32(c.arg), uint32(c.mask), uint32(c.value), yes, no)
	if wide {
		yes = a.maskedWord(offArgs+8*uint32(c.arg)+4, uint32(c.mask>>32), uint32(c.value>>32), yes, no)
	}
	return yes
}

func (a *assembler) maskedWord(offset, mask, value uint32, yes, no target) target {
	switch {
	case mask == 0: // holds for every word
		return yes
	case mask == ^uint32(0):
		return a.load(offset, a.jump(insJEQ, value, yes, no))
	case value == 0:
		return a.load(offset, a.jump(insJSET, mask, no, yes))
	case value == mask && mask&(mask-1) == 0: // one bit
		return a.load(offset, a.jump(insJSET, mask, yes, no))
	}
	a.jump(insJEQ, value, yes, no)
	return a.load(offset, a.emit(insAnd, 0, 0, mask))
}

// choice is a comparison and where it leads if it holds.
type choice struct {
	cond
	to target
}

// spansOf lays choices over the values of their argument, the first one on top.
func spansOf(choices []choice, otherwise target, wide bool) []span {
	top := ^uint64(0)
	if !wide {
		top = 0xFFFFFFFF
	}
	// starts are the values at which some comparison begins or stops to hold.
	starts := []uint64{0}
	for _, c := range choices {
		for _, m := range matching(c.cond, top) {
			starts = append(starts, m.from)
			if m.to < top {
				starts = append(starts, m.to+1)
			}
		}
	}
	slices.Sort(starts)
	starts = slices.Compact(starts)

	// Each choice takes the cells between starts that no earlier one took. free[i] leads to the next free cell from
	// i on, by a path that each walk shortens, so the whole takes hardly more than linear time.
	cells := make([]target, len(starts))
	free := make([]int, len(starts)+1)
	for i := range free {
		free[i] = i
	}
	next := func(i int) int {
		for free[i] != i {
			free[i] = free[free[i]]
			i = free[i]
		}
		return i
	}
	for _, c := range choices {
		for _, m := range matching(c.cond, top) {
			first, _ := slices.BinarySearch(starts, m.from)
			for i := next(first); i < len(starts) && starts[i] <= m.to; i = next(i) {
				cells[i], free[i] = c.to, i+1
			}
		}
	}
	var list []span
	for i, start := range starts {
		t := cells[i]
		if free[i] == i {
			t = otherwise
		}
		if len(list) == 0 || list[len(list)-1].to != t {
			list = append(list, span{start, t})
		}
	}
	return list
}

// interval is an inclusive range of values.
type interval struct{ from, to uint64 }

// matching returns the values up to top for which a comparison holds.
func matching(c cond, top uint64) []interval {
	v := c.value
	var list []interval
	below, above := interval{0, v - 1}, interval{v + 1, top}
	if (c.op == opLT || c.op == opNE) && v > 0 {
		list = append(list, below)
	}
	if (c.op == opGT || c.op == opNE) && v < top {
		list = append(list, above)
	}
	switch c.op {
	case opEQ:
		list = append(list, interval{v, v})
	case opLE:
		list = append(list, interval{0, v})
	case opGE:
		list = append(list, interval{v, top})
	}
	return list
}

// spans emits a search of an argument over spans: of its high word, and where that does not settle it, of its low word.
func (a *assembler) spans(arg uint8, list []span, wide bool) target {
	low := offArgs + 8*uint32(arg)
	if !wide {
		return a.searchWord(low, piecesAt(list))
	}
	// A high word needs its low word looked at if some span starts within it.
	var highs []piece
	for i := 0; i < len(list) && !a.full; {
		high := uint32(list[i].start >> 32)
		end := i + 1
		for end < len(list) && uint32(list[end].start>>32) == high {
			end++
		}
		within := list[i:end]
		if uint32(within[0].start) != 0 {
			within = list[i-1 : end] // the span before reaches into this high word
		}
		highs = appendPiece(highs, high, a.searchWord(low, piecesAt(within)))
		if high < ^uint32(0) {
			highs = appendPiece(highs, high+1, list[end-1].to)
		}
		i = end
	}
	return a.searchWord(low+4, highs)
}

// piecesAt returns the pieces of the low word for spans within one high word. The first span covers its begin.
func piecesAt(list []span) []piece {
	var pieces []piece
	for i, s := range list {
		start := uint32(s.start)
		if i == 0 {
			start = 0
		}
		pieces = appendPiece(pieces, start, s.to)
	}
	return pieces
}

// searchWord emits a load and a search, or nothing if there is nothing to tell apart.
func (a *assembler) searchWord(offset uint32, list []piece) target {
	if len(list) == 1 {
		return list[0].to
	}
	return a.load(offset, a.search(list))
}
