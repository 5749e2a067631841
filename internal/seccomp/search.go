package seccomp

// piece is a range of 32-bit words, up to the start of the next piece, that all lead to one target.
type piece struct {
	start uint32
	to    target
}

// appendPiece adds a piece to a list that starts at 0, merging it with an equal neighbour.
func appendPiece(list []piece, start uint32, to target) []piece {
	if n := len(list); n > 0 {
		if list[n-1].start == start {
			list = list[:n-1]
			return appendPiece(list, start, to)
		}
		if list[n-1].to == to {
			return list
		}
	}
	return append(list, piece{start, to})
}

// maxLead bounds how much nearer to the root the search puts a target with a long way to go behind it.
const maxLead = 12

// search emits a binary search of the loaded word over pieces, of which the first starts at 0, and returns where it
// begins. Among the trees of `jge` whose leaves may also be one `jeq` (a single number in the middle of a range) it takes
// one whose longest path, up to the verdict, is as short as possible. So calls whose arguments are looked at come early.
// They are the ones that matter: the kernel remembers which calls are always allowed (see insLoad).
//
// A tree of height h can tell apart a run of pieces from i on that ends before reach(h, i), or none (reach(h, i) = i) if
// the way behind piece i alone is longer than h. A run splits into one that height h-1 is enough for and its rest, so
//
//	reach(h, i) = reach(h-1, reach(h-1, i))
//
// and the tree follows from the table.
func (a *assembler) search(list []piece) target {
	if len(list) == 1 {
		return list[0].to
	}
	t := tree{list: list, cost: make([]int, len(list))}
	longest := 0
	for i, p := range list {
		t.cost[i] = a.longest(p.to)
		longest = max(longest, t.cost[i])
	}
	for i := range t.cost {
		t.cost[i] = max(0, t.cost[i]-max(0, longest-maxLead))
	}
	t.fill()
	return a.searchRun(&t, 0, len(list))
}

// tree is the table behind search.
type tree struct {
	list  []piece
	cost  []int   // the longest way behind each piece
	reach [][]int // by height and first piece
}

// fill computes reach, up to the height that is enough for the whole list.
func (t *tree) fill() {
	for h := 0; h == 0 || t.reach[h-1][0] < len(t.list); h++ {
		row := make([]int, len(t.list)+1)
		row[len(t.list)] = len(t.list)
		for i := range t.list {
			row[i] = i
			if t.cost[i] > h {
				continue
			}
			row[i] = i + 1
			if h == 0 {
				continue
			}
			row[i] = max(row[i], t.reach[h-1][t.reach[h-1][i]])
			if t.isIsland(i) && max(t.cost[i], t.cost[i+1]) < h {
				row[i] = max(row[i], i+3)
			}
		}
		t.reach = append(t.reach, row)
	}
}

// isIsland tells whether the piece after i is a single number between two pieces with the same target.
func (t *tree) isIsland(i int) bool {
	l := t.list
	return i+2 < len(l) && l[i].to == l[i+2].to && l[i+2].start == l[i+1].start+1
}

// searchRun emits the search over the pieces from first to before end.
func (a *assembler) searchRun(t *tree, first, end int) target {
	switch {
	case a.full || first+1 == end:
		return t.list[first].to
	case first+3 == end && t.isIsland(first):
		return a.jump(insJEQ, t.list[first+1].start, t.list[first+1].to, t.list[first].to)
	}
	h := 0
	for t.reach[h][first] < end {
		h++
	}
	// Height h is needed, this test included. The left side may get as much as h-1 can do; half is better if h-1 can do
	// the rest as well.
	below := t.reach[h-1]
	split := min(below[first], end-1)
	for mid := max(first+1, (first+end)/2); mid < split; mid++ {
		if below[mid] >= end {
			split = mid
		}
	}
	right := a.searchRun(t, split, end)
	left := a.searchRun(t, first, split)
	return a.jump(insJGE, t.list[split].start, right, left)
}
