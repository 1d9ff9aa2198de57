"""Linear regression that is held back: ridge (L2) and lasso (L1)."""

from __future__ import annotations

import numpy as np

from largemodels.scratch.layer import check_shape

__all__ = ["lasso", "ridge", "soft_threshold"]


def soft_threshold(x: np.ndarray, threshold: float) -> np.ndarray:
    """Move every number towards 0 by a threshold, and no further.

    S(x) = sign(x) · max(|x| − τ, 0) = argmin_w (w − x)²/2 + τ |w|

    That is why an L1 penalty makes zeros: a step of τ · sign(x) would jump over 0 and back.

    Args:
        x: an array of any shape.
        threshold: τ.

    Raises:
        ValueError: if `threshold` is negative.

    Source:
        Donoho, "De-noising by soft-thresholding", IEEE Transactions on Information Theory 41(3),
        1995.

    Example:
        >>> soft_threshold(np.array([-3.0, 0.5, 2.0]), 1.0)
        array([-2.,  0.,  1.])

    Taught in: book/training/regularization.md
    """
    if not threshold >= 0:
        raise ValueError(f"`threshold` (={threshold}) must be at least 0.")
    return np.sign(x) * np.maximum(np.abs(x) - threshold, 0)


def ridge(x: np.ndarray, y: np.ndarray, l2: float) -> np.ndarray:
    """Return the weights of a linear regression with an L2 penalty, without a bias.

    L = 1/N ‖y − X w‖² + λ ‖w‖²,  w = (Xᵀ X + N λ I)⁻¹ Xᵀ y

    Args:
        x: X, shape (N, features). Centre its columns and `y`, and no bias is needed.
        y: the targets, shape (N,).
        l2: λ, at least 0.

    Shape:
        (N, features), (N,) -> (features,)

    Raises:
        ValueError: if a shape is wrong, or `l2` is negative.

    Source:
        Hoerl and Kennard, "Ridge regression: biased estimation for nonorthogonal problems",
        Technometrics 12(1), 1970, equation 2.1.

    Example:
        >>> x, y = np.array([[1.0], [2.0], [-3.0]]), np.array([2.0, 4.0, -6.0])
        >>> ridge(x, y, l2=0.0), ridge(x, y, l2=14 / 3)
        (array([2.]), array([1.]))

    Taught in: book/training/regularization.md
    """
    _check(x, y, "l2", l2)
    gram = x.T @ x + len(x) * l2 * np.eye(x.shape[1])  # (features, features)
    return np.linalg.solve(gram, x.T @ y)


def lasso(x: np.ndarray, y: np.ndarray, l1: float, *, steps: int = 1000) -> np.ndarray:
    """Return the weights of a linear regression with an L1 penalty, many of them exactly 0.

    L = 1/2N ‖y − X w‖² + λ ‖w‖₁
    w ← S_{ηλ}(w + η/N Xᵀ (y − X w)),  η = N / (largest eigenvalue of Xᵀ X)

    A gradient step on the squared error, then the soft threshold: proximal gradient descent (ISTA).

    Args:
        x: X, shape (N, features). Centre its columns and `y`, and no bias is needed.
        y: the targets, shape (N,).
        l1: λ, at least 0. From max |Xᵀ y| / N on, all weights are 0.
        steps: the number of steps.

    Shape:
        (N, features), (N,) -> (features,)

    Raises:
        ValueError: if a shape is wrong, `l1` is negative, or `steps` is below 1.

    Source:
        Tibshirani, "Regression shrinkage and selection via the lasso", Journal of the Royal
        Statistical Society B 58(1), 1996; the algorithm: Daubechies, Defrise and De Mol, "An
        iterative thresholding algorithm for linear inverse problems with a sparsity constraint",
        Communications on Pure and Applied Mathematics 57(11), 2004.

    Example:
        >>> x = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
        >>> lasso(x, np.array([3.0, 0.2, -3.0, -0.2]), l1=0.5)  # 3/2 − 1/2 = 2/2.
        array([2., 0.])

    Taught in: book/training/regularization.md
    """
    _check(x, y, "l1", l1)
    if steps < 1:
        raise ValueError(f"`steps` (={steps}) must be at least 1.")
    curvature = float(np.linalg.norm(x, 2) ** 2) / len(x)  # The largest eigenvalue of Xᵀ X / N.
    w = np.zeros(x.shape[1])
    if curvature == 0:
        return w
    for _ in range(steps):
        gradient = x.T @ (x @ w - y) / len(x)
        w = soft_threshold(w - gradient / curvature, l1 / curvature)
    return w


def _check(x: np.ndarray, y: np.ndarray, name: str, penalty: float) -> None:
    if x.ndim != 2 or x.size == 0:
        raise ValueError(f"`x` must have shape (N, features), both at least 1, got {x.shape}.")
    check_shape("y", y, x.shape[:1])
    if not penalty >= 0:
        raise ValueError(f"`{name}` (={penalty}) must be at least 0.")
