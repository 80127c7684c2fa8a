import pytest
from torch import nn

from clipcap_cli.recipe.schema import TrainPart
from clipcap_cli.training.optimizer import make_optimizer, make_schedule


def test_the_rate_rises_over_the_warm_up_and_falls_in_a_line_to_nothing():
    optimizer = make_optimizer(nn.Linear(2, 2), nn.Identity(), TrainPart(lr=1.0))
    schedule = make_schedule(optimizer, steps=100, settings=TrainPart(warmup=0.1))
    rates = []
    for _ in range(100):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()

    assert rates[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert rates[10:] == pytest.approx([(100 - step) / 90 for step in range(10, 100)])
    assert schedule.get_last_lr()[0] == 0


def test_mapper_and_language_model_have_their_own_rates_and_only_matrices_decay():
    mapper, language_model = nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
    optimizer = make_optimizer(mapper, language_model, TrainPart(lr=1e-3, lm_lr=1e-4, weight_decay=0.1))
    settings = {id(parameter): (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for parameter in group["params"]}

    assert settings[id(mapper.weight)] == (1e-3, 0.1)
    assert settings[id(mapper.bias)] == (1e-3, 0.0)
    assert settings[id(language_model[0].weight)] == (1e-4, 0.1)
    assert settings[id(language_model[1].weight)] == (1e-4, 0.0)


def test_frozen_weights_are_not_in_the_optimiser():
    language_model = nn.Linear(3, 3).requires_grad_(False)
    optimizer = make_optimizer(nn.Linear(2, 2), language_model, TrainPart())

    assert sum(parameter.numel() for group in optimizer.param_groups for parameter in group["params"]) == 6
