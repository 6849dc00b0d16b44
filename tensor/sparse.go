package tensor

import (
	"fmt"

	"github.com/descent-ml/descent/internal/simd"
)

// CSR is a sparse matrix in compressed row storage: the non-zero elements of row i are
// Val[RowPtr[i]:RowPtr[i+1]] in the columns Col[RowPtr[i]:RowPtr[i+1]]. It is immutable and holds its
// transpose too, so that products with either are sums over rows, shared out among workers in a
// fixed order.
type CSR[T Float] struct {
	rows, cols int
	rowPtr     []int32
	col        []int32
	val        []T
	t          *CSR[T]
}

// NewCSR returns the rows×cols matrix with the given row pointers (rows+1 of them), columns and values,
// which it keeps. Columns of one row may be in any order and repeat (the values add up). The error says
// what is inconsistent.
func NewCSR[T Float](rows, cols int, rowPtr, col []int32, val []T) (*CSR[T], error) {
	if rows < 0 || cols < 0 || len(rowPtr) != rows+1 {
		return nil, fmt.Errorf("tensor: sparse matrix of %d×%d: found %d row pointers, expected %d", rows, cols, len(rowPtr), rows+1)
	}
	if len(col) != len(val) || rowPtr[0] != 0 || int(rowPtr[rows]) != len(col) {
		return nil, fmt.Errorf("tensor: sparse matrix of %d×%d: row pointers from %d to %d, %d columns, %d values: expected 0 to the common number",
			rows, cols, rowPtr[0], rowPtr[rows], len(col), len(val))
	}
	for i := range rows {
		if rowPtr[i+1] < rowPtr[i] {
			return nil, fmt.Errorf("tensor: sparse matrix of %d×%d: row pointer %d is %d, below the one before it, %d",
				rows, cols, i+1, rowPtr[i+1], rowPtr[i])
		}
	}
	for k, j := range col {
		if j < 0 || int(j) >= cols {
			return nil, fmt.Errorf("tensor: sparse matrix of %d×%d: column %d at position %d, expected one in [0, %d)", rows, cols, j, k, cols)
		}
	}
	m := &CSR[T]{rows: rows, cols: cols, rowPtr: rowPtr, col: col, val: val}
	m.t = m.transpose()
	m.t.t = m
	return m, nil
}

// transpose is a counting sort of the elements by column; within a column rows stay in order.
func (m *CSR[T]) transpose() *CSR[T] {
	t := &CSR[T]{rows: m.cols, cols: m.rows, rowPtr: make([]int32, m.cols+1), col: make([]int32, len(m.col)), val: make([]T, len(m.val))}
	for _, j := range m.col {
		t.rowPtr[j+1]++
	}
	for j := range m.cols {
		t.rowPtr[j+1] += t.rowPtr[j]
	}
	next := append([]int32(nil), t.rowPtr[:m.cols]...)
	for i := range m.rows {
		for k := m.rowPtr[i]; k < m.rowPtr[i+1]; k++ {
			p := next[m.col[k]]
			next[m.col[k]]++
			t.col[p], t.val[p] = int32(i), m.val[k]
		}
	}
	return t
}

// Dims returns the numbers of rows and columns.
func (m *CSR[T]) Dims() (rows, cols int) { return m.rows, m.cols }

// Len returns the number of stored elements.
func (m *CSR[T]) Len() int { return len(m.val) }

// T returns the transpose, which shares storage with m.
func (m *CSR[T]) T() *CSR[T] { return m.t }

// Row returns the columns and values of row i, not to be modified.
func (m *CSR[T]) Row(i int) ([]int32, []T) {
	lo, hi := m.rowPtr[i], m.rowPtr[i+1]
	return m.col[lo:hi], m.val[lo:hi]
}

// SparseMatMul stores m·x in dst, with x viewed as a matrix of as many rows as m has columns.
func SparseMatMul[T Float](ws *Workspace[T], dst Tensor[T], m *CSR[T], x Tensor[T]) {
	n := x.shape.Cols()
	if x.shape.Rows() != m.cols || dst.shape.Rows() != m.rows || dst.shape.Cols() != n {
		panic(ShapeError{Op: "SparseMatMul", A: ShapeOf(m.rows, m.cols), B: x.shape, Detail: "result " + dst.shape.String()})
	}
	f := func(lo, hi int) {
		for i := lo; i < hi; i++ {
			d := dst.data[i*n : (i+1)*n]
			clear(d)
			for k := m.rowPtr[i]; k < m.rowPtr[i+1]; k++ {
				j := int(m.col[k])
				simd.Axpy(d, m.val[k], x.data[j*n:(j+1)*n])
			}
		}
	}
	if ws.serial(len(m.val)*n, mapSerial) {
		f(0, m.rows)
	} else {
		ws.pool.Range(m.rows, 8, f)
	}
}
